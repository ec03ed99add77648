"""Shell text for the rules of an exported Snakefile, which carries the functions of this module as they stand here.

So they need Python 3.8 and its standard library alone, as REANA's engine has them. What they return is a shell command
of Snakemake: it fills in `{input:q}` and `{output:q}`, and reads two braces as one.
"""

import shlex


# ── from here on, in the Snakefile ──
def part(
    name: str,
    values: "dict[str, str]",
    command: "str | list[str]",
    shell: str,
    environment: "dict[str, str]",
    setup: "list[str]",
    executable: "list[str]",
) -> str:
    """One part: its values as $PART_name, then the command, which writes its outputs into a folder of its own."""
    variables = dict(environment)
    variables.update(("PART_" + key, value) for key, value in values.items())
    lines = ["set -o pipefail"] if shell == "bash" else []
    lines += ["export " + key + "=" + shlex.quote(value) for key, value in variables.items()]
    for line in setup:
        lines += ["{ " + line, "} || exit"]
    lines.append("set -e\n" + command if isinstance(command, str) else "exec " + shlex.join(command))
    before = lay("work/" + name, "{input:q}", executable)
    return in_folder("work/" + name, [shell, "-c", "\n".join(lines)], before, part_back(name))


def part_back(name: str) -> str:
    """Moves the outputs of a part to where its rule promises them."""
    lines = [
        "for file in {output:q}; do",
        '    mkdir -p "${{file%/*}}"',
        '    mv "work/' + name + "/${{file#results/parts/" + name + '/}}" "$file"',
        "done",
    ]
    return "\n".join(lines)


def lay(folder: str, files: str, executable: "list[str]") -> str:
    """Copies input files into the working folder, under their own paths; REANA forgets which are programs."""
    lines = [
        "for file in " + files + "; do",
        '    case $file in */*) mkdir -p "' + folder + '/${{file%/*}}" ;; esac',
        '    cp -p "./$file" "' + folder + '/$file"',
        "done",
    ]
    lines += ["chmod +x " + braced(shlex.quote(folder + "/" + file)) for file in executable]
    return "\n".join(lines) + "\n"


def in_folder(folder: str, words: "list[str]", before: str, after: str) -> str:
    """Runs a program in a new folder, and removes that when all went well."""
    program = braced(" ".join(shlex.quote(word) for word in words))
    lines = ["set -eu", "rm -rf " + folder, "mkdir -p " + folder, before]
    lines += ["(cd " + folder + " && exec " + program + " </dev/null)", after, "rm -rf " + folder]
    return "\n".join(line.rstrip("\n") for line in lines if line) + "\n"


def braced(text: str) -> str:
    """A text in which Snakemake fills nothing in."""
    return text.replace("{", "{{").replace("}", "}}")


def merge(
    name: str,
    inputs: "list[str]",
    places: "dict[str, str]",
    product: str,
    command: "str | list[str]",
    shell: str,
    executable: "list[str]",
) -> str:
    """One result by the analysis's own merge: the outputs of the parts are laid where the command expects them."""
    folder = "work/" + name
    before = lay(folder, braced(" ".join(map(shlex.quote, inputs))), executable)
    for source, place in places.items():
        target = folder + "/" + place
        before += "mkdir -p " + shlex.quote(target.rpartition("/")[0]) + "\n"
        before += "cp " + shlex.quote(source) + " " + shlex.quote(target) + "\n"
    options = ["-eo", "pipefail"] if shell == "bash" else ["-e"]
    words = [shell, *options, "-c", command] if isinstance(command, str) else command
    after = 'mkdir -p "$(dirname {output:q})"\nmv ' + shlex.quote(folder + "/" + product) + " {output:q}\n"
    return in_folder(folder, words, before, after)
