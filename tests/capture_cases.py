"""Submit descriptions, and what HTCondor 25.14 makes of them: unit tests believe it, integration tests ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "executable = /bin/true\narguments = <$(Item)|$(a)|$(b)|$(Process)|$(Step)|$(ItemIndex)>\n"


@dataclass(frozen=True)
class Case:
    """A queue statement with what belongs to it, and the answer: the number of jobs, or the text of the error."""

    name: str
    text: str
    answer: int | str
    words: tuple[str, ...] = ()
    head: str = HEAD

    @property
    def description(self) -> str:
        """The whole text."""
        return self.head + self.text


def lay_files(folder: Path) -> None:
    """The files that the descriptions speak of."""
    for name in ("p/a.txt", "p/b.txt", "p/c d.txt", "d1/x", "d2/x", "p/.hidden"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x\n")
    (folder / "list.txt").write_text("x\n\n# c\n  y z  \nq\\\nr\n")
    (folder / "sp ace.txt").write_text("one\ntwo\n")
    (folder / "dos.txt").write_bytes(b"one\r\ntwo\r\n")
    (folder / "unended.txt").write_text("one\ntwo")
    (folder / "gen.sh").write_text("#!/bin/sh\necho s1; echo; echo s2 $1\n")
    (folder / "run.sh").write_text("#!/bin/sh\nexit 0\n")
    (folder / "crlf.sh").write_bytes(b"#!/bin/sh\r\nexit 0\r\n")
    (folder / "empty.sh").write_text("")
    (folder / "more.inc").write_text("n = 4\n")
    for name in ("gen.sh", "run.sh", "crlf.sh", "empty.sh"):
        (folder / name).chmod(0o755)


_UNCLOSED = "Reached end of file without finding closing brace ')' for Queue command on line 3"
_COUNT = "Invalid Queue count expression"
_RANGE = "Queue count out of range"

CASES = (
    # numbers
    Case("plain", "queue\n", 1),
    Case("number", "queue 3\n", 3),
    Case("no end of line", "queue 2", 2),
    Case("upper case", "QUEUE 2\n", 2),
    Case("tab", "queue\t2\n", 2),
    Case("indented", "   queue 2\n", 2),
    Case("zero is one", "queue 0\n", 1),
    Case("leading zero", "queue 010\n", 10),
    Case("product", "queue 2*3\n", 6),
    Case("quotient", "queue 5/2\n", 2),
    Case("brackets", "queue (2+2)\n", 4),
    Case("power", "queue 2**3\n", _COUNT),
    Case("a command", "queue 2`id`\n", _COUNT),
    Case("a shell's expansion", "queue $((1+1))\n", ""),
    Case("fraction", "queue 2.5\n", 2),
    Case("negative", "queue -1\n", _RANGE),
    Case("huge", "queue 1000000000000\n", _RANGE),
    Case("hexadecimal", "queue 0x10\n", _COUNT),
    Case("two numbers", "queue 2 2\n", _COUNT),
    Case("a word", "queue foo\n", _COUNT),
    Case("an equals sign", "queue = 3\n", _COUNT),
    Case("a comment behind", "queue 2 # comment\n", _COUNT),
    Case("no queue", "x = 1\n", 1),
    Case("macro", "n = 4\nqueue $(n)\n", 4),
    Case("macro in another case", "N = 4\nQueue $(n)\n", 4),
    Case("macro not set", "queue $(nope)\n", 1),
    Case("macro with default", "queue $(n:3)\n", 3),
    Case("default not needed", "n = 2\nqueue $(n:3)\n", 2),
    Case("macro of a macro", "m = 1\nn = $(m)2\nm = 2\nqueue $(n)\n", 22),
    Case("macro of itself", "n = 1\nn = $(n)2\nqueue $(n)\n", 12),
    Case("default with a macro", "m = 3\nqueue $(n:$(m))\n", 3),
    Case("arithmetic with macros", "n = 3\nqueue $(n)*2\n", 6),
    # lists
    Case("in", "queue a in x y, z\n", 3),
    Case("in brackets", "queue a in (x y)\n", 2),
    Case("in brackets, several lines", "queue in (a, b c\nd e\n# no\nf\n)\n", 6),
    Case("in, blank lines", "queue a in (\nx\n\n\ny\n)\n", 2),
    Case("closed too early", "queue a in (x, y\nz)\n", _UNCLOSED),
    Case("never closed", "queue a in (x y\n", _UNCLOSED),
    Case("a comment behind the bracket", "queue a in (x y) # c\n", _UNCLOSED),
    Case("empty list", "queue a in ()\n", 0),
    Case("list of a comma", "queue 1 a in ,\n", 0),
    Case("matching files without pattern", "queue a matching files\n", 0),
    Case("number and variable in one word", "queue 1a in x\n", 1),
    Case("list of brackets", "queue a in []\n", 1),
    Case("as mkShapesRDF writes it", "queue 1 Folder in DY_0, DY_1, DY_2,\n", 3),
    Case("commas", "queue a in (a\tb,c,,d ,e)\n", 5),
    Case("number times list", "queue 3 in (w x)\n", 6),
    Case("upper case in", "QUEUE  2  A IN p q\n", 4),
    Case("no blank before the bracket", "queue a in(x y)\n", 2),
    Case("two variables", "queue a,b in (x y)\n", 2),
    Case("list in a macro", "L = p q r\nqueue a in $(L)\n", 3),
    Case("list with brackets in a macro", "L = (p q r)\nqueue a in $(L)\n", 3),
    Case("no variable", "queue in a\n", 1),
    Case("no list", "queue a in\n", _COUNT),
    Case("a comma", "queue in, x\n", _COUNT),
    Case("quoted variable", 'queue "a" in x\n', _COUNT),
    Case("variable without list", "queue 3 a\n", _COUNT),
    Case("continued", "queue a in x y \\\nz\n", 3),
    # slices
    Case("slice", "queue a in [1:3] (w x y z)\n", 2),
    Case("slice with step", "queue a in [::2] (w x y z)\n", 2),
    Case("slice from the end", "queue a in [-1:] (w x y z)\n", 1),
    Case("slice to the end", "queue a in [:-1] 1 2 3\n", 2),
    Case("slice with one number", "queue a in [1] (w x y z)\n", 3),
    Case("slice beyond", "queue a in [5:] 1 2 3\n", 0),
    Case("slice backwards", "queue a in [3:1:-1] 1 2 3 4 5 6\n", 0),
    Case("slice of a line", "queue a in [2:] x y z\n", 1),
    Case("slice with zeros", "queue a in [010:012] (1 2 3 4 5 6 7 8 9 10 11 12 13)\n", 2),
    Case("slice with blanks", "queue a in [ 1 : 2 ] 1 2 3\n", "Invalid [::] statement"),
    Case("slice without numbers", "queue a in [x:y] 1 2 3\n", "Invalid [::] statement"),
    Case("slice with four numbers", "queue a in [1:2:3:4] 1 2 3\n", "Invalid [::] statement"),
    Case("slice without end", "queue a in [1:2 1 2 3\n", "Invalid [::] statement"),
    Case("empty slice", "queue a in [] 1 2 3\n", 3),
    Case("whole slice by colons", "queue a in [:] 1 2 3\n", 3),
    Case("blanks in a macro", "n = 4\nqueue $( n )\n", _COUNT),
    Case("macro with a dot", "my.n = 4\nqueue $(my.n)\n", 4),
    Case("macro with plus", "+n = 4\nqueue $(MY.n)\n", 4),
    Case("macro never closed", "n = 4\nqueue $(n\n", _COUNT),
    Case("division by zero", "queue 1/0\n", _COUNT),
    Case("whole slice", "queue a in [0:9:2] (1 2 3 4 5 6 7 8 9 10)\n", 5),
    Case("slice of a file", "queue a from [1:] list.txt\n", 4),
    Case("slice of files", "queue a matching [1:] p/*\n", 2),
    # from
    Case("from lines", "queue 2 a,b from (\n1 2 3\n# c\n 4,5 , 6\n7\n)\n", 6),
    Case("from lines with blanks", "queue a from (\nx\n\n # c\ny\n)\n", 3),
    Case("from line with a comma", "queue a From (\n1,2\n)\n", 1),
    Case("from one line", "queue a from (x, y)\n", 1),
    Case("from file", "queue a from list.txt\n", 5),
    Case("from file, twice each", "queue 2 from list.txt\n", 10),
    Case("from file with a blank", "queue a from sp ace.txt\n", 2),
    Case("from file of DOS", "queue a from dos.txt\n", 2),
    Case("from file without end of line", "queue a from unended.txt\n", 2),
    Case("from file by macro", "f = list\nqueue a from $(f).txt\n", 5),
    Case("from no file", "queue a from nope.txt\n", "can't open file nope.txt: No such file or directory"),
    Case("from quoted file", 'queue a from "sp ace.txt"\n', "can't open file \"sp ace.txt\": No such file"),
    Case("from nothing", "queue a from\n", _COUNT),
    Case("from script", "queue a,b from ./gen.sh |\n", 3),
    Case("from script with words", "queue a from ./gen.sh one two |\n", 3),
    Case("from program on PATH", "queue a from echo one two |\n", 1),
    Case("from program that fails", "queue a from false |\n", 0),
    Case("from no program", "queue a from nope.sh |\n", "not a valid command, errno=2 : No such file or directory"),
    Case("many fields", "queue a,b,c from (\nx y z w\n)\n", 1),
    # matching
    Case("matching", "queue a matching p/*.txt\n", 3),
    Case("matching hides dots", "queue a matching p/*\n", 3),
    Case("matching files", "queue a matching files p/*.txt d?\n", 3),
    Case("matching dirs", "queue a matching dirs p/*.txt d?\n", 2),
    Case("matching any", "queue 2 a matching any p/*\n", 6),
    Case("matching both", "queue a matching d? p/*\n", 5),
    Case("matching twice", "queue a matching p/*.txt, p/a*\n", 3),
    Case("matching a name", "queue a matching p/a.txt p/nope.txt\n", 1),
    Case("matching nothing", "queue a matching nope*\n", 0),
    Case("matching in brackets", "queue a matching files (p/a.txt p/b*)\n", 2),
    # lines
    Case("continued word", "que\\\nue 3\n", 3),
    Case("a comment is not continued", "# comment \\\nqueue 7\n", 7),
    Case("a comment within, continued", "queue a in x \\\n# c \\\ny\n", 2),
    Case("DOS", "arguments = x\r\nqueue a in (\r\n x y\r\n)\r\n", 2),
    Case("block", "n @=end\n2\n@end\nqueue $(n)\n", 2),
    Case("attributes", '+JobFlavour = "workday"\nMY.x = 1\nqueue 2\n', 2),
    Case("no assignment", "foo bar\nqueue\n", ""),
    Case("a word too long", "Queue3\n", ""),
    Case("if", "if true\nn = 2\nelse\nn = 3\nendif\nqueue $(n)\n", 2),
    Case("else", "if false\nn = 2\nelse\nn = 3\nendif\nqueue $(n)\n", 3),
    Case("elif", "if 0\nn = 2\nelif 1\nn = 5\nelse\nn = 3\nendif\nqueue $(n)\n", 5),
    Case("not", "if ! false\nn = 2\nelse\nn = 3\nendif\nqueue $(n)\n", 2),
    Case("defined", "x = 1\nif defined x\nn = 2\nelse\nn = 3\nendif\nqueue $(n)\n", 2),
    Case("nested", "if true\nif false\nn = 2\nelse\nn = 4\nendif\nelse\nn = 3\nendif\nqueue $(n)\n", 4),
    Case("if without end", "if true\nn = 2\n", "endif(s) not found before end-of-file"),
    Case("if that ends with queue", "if true\nqueue 2\n", 2),
    Case("if too complex", "if defined x y\nendif\nqueue 2\n", "is not a valid if condition because"),
    Case("a name that begins as a word", "else.a = 1\nqueue.x = 2\nqueue 2\n", 2),
    Case("a name with a macro", "x = n\n$(x) = 2\nqueue $(n)\n", 2),
    Case("an @= within a value", "x = a @= b\nqueue 2\n", 2),
    Case("queue within if", "if true\nqueue 2\nelse\nqueue 3\nendif\n", "else without matching if"),
    Case("include", "include : more.inc\nqueue $(n)\n", 4),
    # several
    Case("several", "queue 2\narguments = second\nqueue 3\nexecutable=/bin/false\nqueue 1\n", 6),
    Case("list and number", "queue a in (x y)\nqueue 2\n", 4),
    # words
    Case("word -queue", "", 3, ("-queue", "3")),
    Case("word -queue in", "", 2, ("-queue", "a", "in", "x", "y")),
    Case("word -queue as one", "", 2, ("-queue", "a in (x y)")),
    Case("word -a", "n = 2\nqueue $(n)\n", 4, ("-a", "n = 4")),
    Case("word -append queue", "", 4, ("-append", "queue 4")),
    Case("word n=3", "queue $(n)\n", 3, ("n=3",)),
    Case("word and line", "n = 2\nqueue $(n)\n", 2, ("n=3",)),
    Case("word and queue", "queue 3\n", "-queue argument conflicts with queue statement", ("-queue", "3")),
    # executables
    Case("no executable", "queue 2\n", "No 'executable' parameter was provided", head=""),
    Case("no name of an executable", "executable =\ncmd = run.sh\nqueue\n", "No 'executable' parameter", head=""),
    Case("executable as cmd", "cmd = run.sh\nqueue 2\n", 2, head=""),
    Case("executable before cmd", "cmd = nope.sh\nexecutable = run.sh\nqueue\n", 1, head=""),
    Case("iwd before initial_dir", "initial_dir = nope\njob_iwd = no\niwd = d1\nqueue\n", 1),
    Case("initialdir before iwd", "iwd = nope\ninitialdir = d1\nqueue\n", 1),
    Case("job_iwd not there", "job_iwd = nope\nqueue\n", "No such directory: "),
    Case("job_iwd where iwd is empty", "iwd =\njob_iwd = nope\nqueue\n", "No such directory: "),
    Case("executable by its path", "executable = $Fn(y).sh\ny = q/run.c\nqueue\n", 1, head=""),
    Case("executable of no path", "executable = $Fnx(y)\ny = q/nope.sh\nqueue\n", "executable file nope.sh", head=""),
    Case("executable not there", "executable = nope.sh\nqueue\n", "Can't access executable file nope.sh: No such file"),
    Case("executable empty", "executable = empty.sh\nqueue\n", "Executable file empty.sh has zero length"),
    Case("executable of DOS", "executable = crlf.sh\nqueue\n", "Executable file crlf.sh is a script with CRLF"),
    Case("executable of DOS allowed", "executable = crlf.sh\nqueue\n", 1, ("-allow-crlf-script",)),
    Case("executable by item", "executable = $(a)\nqueue a in run.sh, gen.sh\n", 2),
    Case("executable there already", "executable = nope\ntransfer_executable = false\nqueue 2\n", 2),
    Case("folder not there", "initialdir = nope\nqueue 2\n", "No such directory: "),
    Case("folder by item", "initialdir = $(a)\nqueue a in d1 d2\n", 2),
    Case("input not there", "transfer_input_files = nope\nqueue 2\n", 2),
)  # fmt: skip
