"""Write the report from the rows, and check a report against them."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from deeprect_gluon.files import write_text_atomically

from .claim import Claim, Finding, Results, runs
from .figures import Figure, draw, drawn_digest
from .rows import Row, read_rows, rows_path

NAME = "reproduction.md"
IMAGES = Path("images", "reproduction")

HEAD = """\
# The paper's claims, measured again

`{command}` writes this page from the rows in [results](results/): do not
edit it. Every row is one run, with its seed, its configuration and the commit of the code.

{scope}\
- **Intervals** are 95 % intervals by Student's t over the seeds. They are intervals of a mean, or
  of the mean difference between two cases with the same seeds. A seed determines the order of the
  data, the random numbers behind the weights, and the dropout. An interval estimates what other
  seeds would give on the same test images.
- **Verdicts** follow one rule. *Reproduced*: the claim holds for the whole interval. *Not
  reproduced*: it holds for no part of the interval. *Undecided*: it holds for a part. At the 95 %
  level, expect one wrong verdict in twenty by chance. The paper's numbers are for ImageNet: compare
  their signs with ours, not their sizes.
- **Training** is SGD with the paper's momentum 0.9, weight decay 0.0005 (none on slopes), batches
  of 128, learning rate 0.01 and dropout 0.5. Nets are narrow and trainings are short.

| claim | paper | ours, with 95 % interval | verdict |
|---|---|---|---|
"""

FULL = """\
- **Data**: Fashion-MNIST, 60,000 training and 10,000 test images of 28x28 grey pixels.
  `make reproduce` does the runs that have no row yet, and writes this page.
"""
QUICK = """\
- **This is the reduced form**: two seeds of shorter trainings, which show that everything runs. Its
  numbers and verdicts say nothing about the paper.
"""


def table(cells: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as a Markdown table; the first row is the head."""
    head, *rows = [f"| {' | '.join(row)} |\n" for row in cells]
    return head + "|" + "---|" * len(cells[0]) + "\n" + "".join(rows)


class Report:
    """The report about some claims.

    Parameters
    ----------
    claims : sequence of Claim
    folder : Path
        Its `results` has the rows. reproduction.md and images/reproduction are written to it.
    quick : bool
        Whether the rows are those of the reduced form.

    Raises
    ------
    ValueError
        If a row belongs to no run that the claims declare.
    """

    def __init__(self, claims: Sequence[Claim], folder: Path, quick: bool = False):
        self.folder, self.quick, self.claims = folder, quick, claims
        self.rows = {claim.name: self._read(claim) for claim in claims}
        self.figures: list[Figure] = []
        self.text = self._compose()

    def _read(self, claim: Claim) -> list[Row]:
        path = rows_path(self.folder, claim.name)
        rows, declared = read_rows(path), runs(claim, self.quick)
        for row in rows:
            if not any(run.made(row) for run in declared):
                raise ValueError(
                    f"{path}: the row of {row['case']!r}, seed {row['seed']}, is of no run that "
                    f"the claim declares; run the claim again, or delete the row"
                )
        return rows

    def _compose(self) -> str:
        findings: list[Finding] = []
        sections = []
        for claim in self.claims:
            results = Results(self.rows[claim.reads or claim.name])
            source = next(c for c in self.claims if c.name == (claim.reads or claim.name))
            # A single seed gives no interval.
            if all(len(results.seeds(case)) > 1 for case in source.cases(self.quick)):
                findings += claim.findings(results)
                sections.append(self._section(claim, source, results))
            else:
                findings.append(Finding(claim.title, "", "", "not run yet"))
        scope = QUICK if self.quick else FULL
        command = "python -m study report" + (" --quick" if self.quick else "")
        lines = "".join(f"| {' | '.join(finding)} |\n" for finding in findings)
        text = HEAD.format(command=command, scope=scope) + lines + "".join(sections)
        return text + self._origin()

    def _section(self, claim: Claim, source: Claim, results: Results) -> str:
        parts = [f"\n## {claim.title}\n\n{claim.text}\n"]
        cells = claim.table(results)
        if cells:
            parts.append(table(cells))
        for figure in claim.figures(results):
            self.figures.append(figure)
            path = IMAGES / f"{figure.name}.png"
            parts.append(f"![{figure.caption}]({path})\n\n*{figure.caption}*\n")
        if source.measure:
            parts.append(f"Rows: [{source.name}.jsonl](results/{source.name}.jsonl).\n")
        return "\n".join(parts)

    def _origin(self) -> str:
        """Return the section about the runs, their time, commits and instruction sets."""
        rows = [row for rows in self.rows.values() for row in rows]
        if not rows:
            return ""
        seconds = sum(row["seconds"] * row["threads"] for row in rows)
        commits = ", ".join(sorted({str(row["commit"]) for row in rows}))
        isas = ", ".join(sorted({row["isa"] for row in rows}))
        return (
            f"\n## Origin\n\n{len(rows)} runs, {seconds / 3600:.1f} hours of one core in all; "
            f"commits {commits}; instruction sets {isas}.\n"
        )

    def _picture(self, figure: Figure) -> Path:
        return self.folder / IMAGES / f"{figure.name}.png"

    def write(self) -> Path:
        """Write the text and the figures, and return the path of the text."""
        path = self.folder / NAME
        for figure in self.figures:
            draw(figure, self._picture(figure))
        write_text_atomically(path, self.text)
        return path

    def problems(self) -> list[str]:
        """Return a line for each file that differs from what the rows give."""
        path = self.folder / NAME
        found = []
        if not path.exists() or path.read_text() != self.text:
            found.append(f"{path} is not what its rows give")
        for figure in self.figures:
            picture = self._picture(figure)
            if drawn_digest(picture) != figure.digest():
                found.append(f"{picture} does not show what its rows give")
        return found
