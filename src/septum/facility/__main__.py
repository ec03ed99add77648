"""By hand: `python -m septum.facility up`, and then `run`, `env`, `token`, `proxy`, `status`, `down`."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from septum.facility import cache, process
from septum.facility.debian import Debian
from septum.facility.errors import FacilityError
from septum.facility.facility import Facility, available
from septum.facility.issuer import CLIENTS, attach_issuer, write_private
from septum.facility.proxy import ProxyMaker
from septum.facility.sandbox import Sandbox

# The first start of a machine downloads everything.
_UP_TIMEOUT_S = 900.0
_DOWN_TIMEOUT_S = 40.0


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m septum.facility", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start the pool and the issuer in the background")
    serve = commands.add_parser("serve", help="start them in the foreground")
    for command in (up, serve):
        command.add_argument("--slots", type=int, default=64, help="jobs at the same time (default: 64)")
        command.add_argument("--config", action="append", default=[], metavar="LINE", help="a line for HTCondor")
    commands.add_parser("down", help="stop them")
    commands.add_parser("status", help="tell whether they run")
    commands.add_parser("env", help='print the environment of a client: eval "$(python -m septum.facility env)"')
    run = commands.add_parser("run", help="run a command inside the pool: run -- condor_q")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    token = commands.add_parser("token", help="print a token, or write it to a file")
    token.add_argument("--client", default="cmscat-client", help=", ".join(client.id for client in CLIENTS))
    token.add_argument("--scope", default="", help="default: all that the client has")
    token.add_argument("--audience", default="", help="default: any")
    token.add_argument("--out", type=Path, help="write it to this file, mode 0600")
    proxy = commands.add_parser("proxy", help="write a VOMS proxy to a file")
    proxy.add_argument("out", type=Path)
    proxy.add_argument("--lifetime", type=int, default=86400, metavar="S", help="seconds, negative: expired")
    proxy.add_argument("--voms-lifetime", type=int, default=43200, metavar="S", help="seconds, negative: expired")
    for command, function in (
        *((up, _up), (serve, _serve), (run, _run), (token, _token), (proxy, _proxy)),
        *((commands.choices["down"], _down), (commands.choices["status"], _status), (commands.choices["env"], _env)),
    ):
        command.set_defaults(function=function)
    options = parser.parse_args(arguments)
    try:
        options.function(options)
    except FacilityError as err:
        sys.stderr.write(f"facility: {err}\n")
        return 1
    return 0


def _say(text: object) -> None:
    print(text, flush=True)  # noqa: T201 - this is a command line


def _state_file() -> Path:
    return cache.run_folder() / "up.json"


def _read_state() -> dict[str, Any]:
    """Return the state of the facility that runs."""
    path = _state_file()
    if path.exists():
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if _alive(state):
            return state
        path.unlink()
    raise FacilityError("no facility runs", fix="python -m septum.facility up")


def _alive(state: dict[str, Any]) -> bool:
    return bool(process.started(state["pid"]) == state["started"])


def _up(options: argparse.Namespace) -> None:
    reason = available()
    if reason:
        raise FacilityError("the facility cannot run here", evidence=reason, fix="use another machine or container")
    if _state_file().exists() and _alive(json.loads(_state_file().read_text(encoding="utf-8"))):
        _say("It runs already. Stop it with: python -m septum.facility down")
        return
    _state_file().unlink(missing_ok=True)
    log = cache.run_folder() / "up.log"
    words = [sys.executable, "-m", "septum.facility", "serve", "--slots", str(options.slots)]
    words += [word for line in options.config for word in ("--config", line)]
    _say("Starting the pool and the issuer; the first start downloads about 150 MB ...")
    with log.open("w") as out:
        server = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd="/"
        )
    ready = process.wait_until(
        lambda: _state_file().exists() or server.poll() is not None, timeout_s=_UP_TIMEOUT_S, interval_s=0.1
    )
    if not ready or not _state_file().exists():
        server.terminate()
        raise FacilityError(
            "the facility did not start", evidence=process.tail(log.read_text(encoding="utf-8")), fix=f"read {log}"
        )
    _status(options)


def _serve(options: argparse.Namespace) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    with Facility(slots=options.slots, config=options.config) as facility:
        state = {"pid": os.getpid(), "started": process.started(os.getpid()), **facility.save()}
        unfinished = _state_file().with_suffix(".unfinished")
        unfinished.write_text(json.dumps(state, indent=1), encoding="utf-8")
        unfinished.rename(_state_file())
        try:
            while not stop.wait(1.0):
                if not facility.pool.running or not facility.issuer.running:
                    raise FacilityError("the pool or the issuer ended", evidence=facility.pool.log(), fix="start again")
        finally:
            _state_file().unlink(missing_ok=True)


def _down(_: argparse.Namespace) -> None:
    state = _read_state()
    os.kill(state["pid"], signal.SIGTERM)
    if not process.wait_until(lambda: not _alive(state), timeout_s=_DOWN_TIMEOUT_S):
        raise FacilityError(f"process {state['pid']} did not end", fix=f"kill -KILL {state['pid']}")
    _say("Stopped.")


def _status(_: argparse.Namespace) -> None:
    state = _read_state()
    _say(f"The facility runs as process {state['pid']} in {state['folder']}.")
    for key, value in _variables(state).items():
        _say(f"  {key}={value}")
    _say("Look into the pool:   python -m septum.facility run -- condor_q")
    _say('Become its client:    eval "$(python -m septum.facility env)"')
    _say("Stop it:              python -m septum.facility down")


def _variables(state: dict[str, Any]) -> dict[str, str]:
    endpoint = state["endpoint"]
    return {
        "FACILITY_COLLECTOR": endpoint["collector"],
        "FACILITY_SCHEDD": endpoint["schedd"],
        "FACILITY_AUDIENCE": endpoint["audience"],
        "FACILITY_ISSUER": endpoint["issuer"],
        "FACILITY_CA_FILE": endpoint["ca_file"],
        "FACILITY_CLIENT_ID": "cmscat-client",
        "FACILITY_CLIENT_SECRET_FILE": str(Path(state["folder"], "issuer", "cmscat-client.secret")),
    }


def _env(_: argparse.Namespace) -> None:
    state = _read_state()
    token = Path(state["folder"], "cmscat-client.token")
    write_private(token, attach_issuer(Path(state["folder"], "issuer")).token(audience=state["endpoint"]["audience"]))
    condor = {
        "CONDOR_CONFIG": "ONLY_ENV",
        "_condor_COLLECTOR_HOST": state["endpoint"]["collector"],
        "_condor_SCHEDD_HOST": state["endpoint"]["schedd"],
        "_condor_AUTH_SSL_CLIENT_CAFILE": state["endpoint"]["ca_file"],
        "_condor_SEC_CLIENT_AUTHENTICATION_METHODS": "SCITOKENS",
        "_condor_SCITOKENS_FILE": str(token),
    }
    for key, value in {**_variables(state), **condor}.items():
        _say(f"export {key}={shlex.quote(value)}")


def _run(options: argparse.Namespace) -> None:
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    if not words:
        raise FacilityError("no command is given", fix="python -m septum.facility run -- condor_q")
    state = _read_state()
    argv = Sandbox(
        debian=Debian(Path(state["debian"])),
        pool=Path(state["pool"]),
        read_only={inside: Path(outside) for inside, outside in state["read_only"].items()},
        writable={inside: Path(outside) for inside, outside in state["writable"].items()},
    ).argv(words)
    os.execv(argv[0], argv)  # noqa: S606 - a list, and the terminal goes with it


def _token(options: argparse.Namespace) -> None:
    state = _read_state()
    issuer = attach_issuer(Path(state["folder"], "issuer"))
    token = issuer.token(options.client, scope=options.scope, audience=options.audience)
    if options.out is None:
        _say(token)
    else:
        write_private(options.out, token)


def _proxy(options: argparse.Namespace) -> None:
    state = _read_state()
    maker = ProxyMaker(Debian(Path(state["debian"])), Path(state["folder"], "voms"))
    _say(maker.make(options.out, lifetime_s=options.lifetime, voms_lifetime_s=options.voms_lifetime))


if __name__ == "__main__":
    sys.exit(main())
