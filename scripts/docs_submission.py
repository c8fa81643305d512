"""The page of a submission: its layout, its manifest, and what is refused."""

from __future__ import annotations

from docs_tables import code, table

from pytest_triton.grade import archive, limits
from pytest_triton.grade.found import PIECES
from pytest_triton.submission_toml import FILES, MANIFEST, MOST_FILES, MOST_MANIFEST, TABLES


def submission() -> str:
    """Layout, submission.toml, and the rules of intake."""
    bounds = limits.Limits()
    pieces = table(
        ("key", "what", "looked for at", "criteria"),
        (
            (
                code(piece.key),
                piece.title,
                code(piece.place),
                ", ".join(piece.criteria) + (" (passes without)" if piece.optional else "")
                if piece.criteria
                else "none: people read it",
            )
            for piece in PIECES
        ),
    )
    keys = table(
        ("table", "key", "value"),
        [
            (code("[files]"), code(key), "a path, or a list of them" if several else "a path")
            for key, several in FILES.items()
        ]
        + [
            (code(f"[{name}]"), code(key), "a number" if kind is int else "a text")
            for name, told in TABLES.items()
            for key, kind in told.items()
        ],
    )
    return "\n".join(
        [
            "# Submission\n",
            "What is handed in for grading. See [Hand in a submission]"
            "(../how-to/hand-in-a-submission.md) and [Grade a submission]"
            "(../how-to/grade-a-submission.md).\n",
            "## Layout\n",
            f"{pieces}\n",
            "`pytest-triton submission --check SUBMISSION` says what of it is found.\n",
            f"## {MANIFEST}\n",
            "Optional: names what is called otherwise, and which model a measurement is of. Every "
            "other table or key is refused, and so is a path that is absolute, has `..` in it, "
            f"leads outside or to nothing. At most {MOST_MANIFEST >> 10} KiB and {MOST_FILES} "
            "paths of one key.\n",
            f"{keys}\n",
            "## Intake\n",
            "Regular files are copied, and nothing else; each has its checksum in the manifest "
            "(`sha256` of the whole is that of what `sha256sum` prints for all of them in order of "
            "their paths). A refusal ends with exit status 11 and names the file, the rule and the "
            "remedy.\n",
            table(
                ("rule", "refused is"),
                (
                    (
                        "kind",
                        "a link (also a hard link), fifo, socket or device; in archives also "
                        "sparse and encrypted members",
                    ),
                    ("count", f"more than {bounds.entries} files and directories"),
                    (
                        "size",
                        f"a file of over {limits.gib(bounds.size)} (`--max-size`), or one that "
                        "changes while it is read",
                    ),
                    ("total size", f"over {limits.gib(bounds.total)} in all (`--max-total`)"),
                    (
                        "path",
                        f"over {bounds.path} bytes or {bounds.depth} names deep; absolute; `..`",
                    ),
                    (
                        "name",
                        "control characters, direction marks, backslashes, blanks at an end; "
                        "two names in one directory that differ in case or in Unicode's form only",
                    ),
                    ("encoding", "a name that is not UTF-8"),
                    (
                        "archive",
                        f"a content of over {bounds.ratio} times the archive's size (from "
                        f"{limits.gib(bounds.ratio_from)} on); one that cannot be read",
                    ),
                    (
                        "native code",
                        "an ELF file, or another system's library, in the model repository",
                    ),
                    (
                        "a field of config.pbtxt",
                        "a path that leads out of the model's directory; "
                        "`EXECUTION_ENV_PATH`; a backend, platform, runtime or agent that is a path",
                    ),
                ),
            )
            + "\n",
            f"Archives are {', '.join(code(suffix) for suffix in archive.SUFFIXES)}; one directory "
            "around everything is taken off if the repository or `submission.toml` lies in it. Left "
            "out, wherever they are: "
            f"{', '.join(code(name) for name in sorted(limits.LEFT_OUT))}.",
        ]
    )
