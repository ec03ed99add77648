"""The state folder: plan, files to send, receipt and ledger of one run. Every file is written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from septum.backends.base import Run
from septum.errors import StateError
from septum.ledger import Ledger
from septum.plan import InputFile, Plan, from_json, to_json
from septum.verify import measure
from septum.worker.look import NAME as LOOK
from septum.worker.look import program
from septum.worker.sandbox import SHARED, WRAPPER, own_name, values_name, values_text, wrapper_text, write_archive

_OWN = frozenset(
    {"lock", "plan.json", "receipt.json", "run.sqlite", "run.sqlite-journal"}
    | {"send", "incoming", "outputs", "logs", "merge", "local", "reana"}
    | {"recorder", "recording", "kept"}
)
_TEMPORARY = (".plan.json.", ".receipt.json.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What `submit` leaves for `collect`.

    Attributes:
        tag: The tag of the run in the queue.
        plan: The plan's hash.
        cluster: The name or path of the profile.
        collector: `host:port`, and
        schedd: the name of the schedd that took the jobs, or the host of the REANA server; empty for `local`.
        submitted_s: Seconds since the epoch.
        image_digest: `sha256:…` of the image that the registry had then, and
        image_id: of its content, which CVMFS names it by; empty if there is none, or if nobody knew.
        image_unknown: Why not.
    """

    tag: str
    plan: str
    cluster: str
    collector: str
    schedd: str
    submitted_s: int
    image_digest: str = ""
    image_id: str = ""
    image_unknown: str = ""


class State:
    """The state folder of one run.

    Args:
        folder: Made when the first file is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    @property
    def ledger_path(self) -> Path:
        """The ledger's file."""
        return self.folder / "run.sqlite"

    def open_ledger(self) -> Ledger:
        """Open the ledger, or make an empty one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return Ledger(self.ledger_path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the folder for this process; the lock goes with it, however it ends.

        Raises:
            StateError: Another septum works in the folder, or something else stands there.
        """
        self._refuse_strange()
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "lock"
        with path.open("a+", encoding="ascii") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.seek(0)
                raise StateError(
                    f"state: another septum works in {self.folder}",
                    evidence=f"process {stream.read(20).strip() or 'unknown'}",
                    fix="wait for it, stop it, or choose another folder with --state",
                ) from None
            stream.truncate(0)
            stream.write(f"{os.getpid()}\n")
            stream.flush()
            try:
                yield
            finally:
                if [item.name for item in self.folder.iterdir()] == ["lock"]:
                    path.unlink()
                    self.folder.rmdir()

    def _refuse_strange(self) -> None:
        strange = sorted({path.name for path in self.folder.iterdir()} - _OWN) if self.folder.is_dir() else []
        strange = [name for name in strange if not name.startswith(_TEMPORARY)]
        if strange or (self.folder.exists() and not self.folder.is_dir()):
            raise StateError(
                f"state: {self.folder} cannot be the state folder: it is not septum's alone",
                evidence=f"it holds {', '.join(strange[:5])}" if strange else "it is a file",
                fix="choose a folder of its own with --state, or remove it yourself",
            )

    def clear(self, *, but: Collection[str] = ()) -> None:
        """Remove everything that septum wrote, but for the lock.

        Args:
            but: Names that stay.

        Raises:
            StateError: Something else stands in the folder, such as the user's repository.
        """
        self._refuse_strange()
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            if path.name in {"lock", *but}:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def settle_recording(self) -> None:
        """Drop what a framework submitted, which stands in the plan now; what its merge needs stays."""
        recording = self.folder / "recording"
        if (recording / "kept").is_dir():
            (recording / "kept").replace(self.folder / "kept")
        shutil.rmtree(recording, ignore_errors=True)

    def drop_outputs(self) -> None:
        """Remove the outputs of the parts, once they are in the results; plan, ledger and logs stay."""
        for name in ("outputs", "incoming", "merge", "local", "reana"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def store_plan(self, plan: Plan, place: Callable[[InputFile], Path]) -> None:
        """Write the plan and the archives of its inputs.

        Args:
            plan: The plan.
            place: Where an input file stands now.

        Raises:
            StateError: An input is not what the plan recorded.
        """
        send = self.folder / "send"
        send.mkdir(parents=True, exist_ok=True)
        if plan.inputs:
            write_archive(send / SHARED, place, plan.inputs, compress=True)
        for part in plan.parts:
            if part.inputs:
                write_archive(send / own_name(part.id), place, part.inputs, compress=False)
        # Last: a plan that is there is complete.
        write_whole(self.folder / "plan.json", to_json(plan))

    def load_plan(self) -> Plan:
        """Read the plan.

        Raises:
            StateError: It is not there, or damaged.
        """
        path = self.folder / "plan.json"
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise StateError(
                f"plan: {path} is damaged", evidence=str(error), fix="make it again with 'septum prepare'"
            ) from error
        except OSError as error:
            raise StateError(
                f"plan: there is none in {self.folder}", evidence=str(error), fix="make it first with 'septum prepare'"
            ) from error
        return from_json(text, name=str(path))

    def write_values(self, plan: Plan, *, image: str, image_id: str = "") -> None:
        """Write the wrapper and the file of values of every part, ready to be sent.

        Args:
            plan: The plan.
            image: The image as the workers name it, empty for none.
            image_id: The id of that image, if it is known.
        """
        send = self.folder / "send"
        send.mkdir(parents=True, exist_ok=True)
        write_whole(send / WRAPPER, wrapper_text(), mode=0o755)
        if plan.merged_outputs:
            (send / LOOK).write_bytes(program(dict(plan.policies)))
        shared_sha256 = measure(send / SHARED)[1] if plan.inputs else ""
        for part in plan.parts:
            text = values_text(plan, part, image=image, image_id=image_id, shared_sha256=shared_sha256)
            (send / values_name(part.id)).write_text(text, encoding="utf-8")
        missing = [name for name in ([SHARED] if plan.inputs else []) if not (send / name).is_file()]
        missing += [
            own_name(part.id) for part in plan.parts if part.inputs and not (send / own_name(part.id)).is_file()
        ]
        if missing:
            raise StateError(
                f"plan: {missing[0]} is missing in {send}", fix="keep the whole state folder between the CI jobs"
            )

    def store_receipt(self, receipt: Receipt) -> None:
        """Write the receipt."""
        write_whole(self.folder / "receipt.json", json.dumps({"format": 1, **asdict(receipt)}, indent=1) + "\n")

    def load_receipt(self) -> Receipt:
        """Read the receipt.

        Raises:
            StateError: It is not there, or damaged.
        """
        path = self.folder / "receipt.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data.pop("format") != 1:
                raise ValueError("another format")
            return Receipt(**data)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateError(
                f"receipt: none that can be read in {self.folder}",
                evidence=f"{type(error).__name__}: {error}",
                fix="submit first with 'septum submit'",
            ) from error

    def run(self, plan: Plan, tag: str) -> Run:
        """The run that this folder belongs to."""
        return Run(tag=tag, plan=plan, folder=self.folder)


def write_whole(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file under a temporary name, flush it to the disk, and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
