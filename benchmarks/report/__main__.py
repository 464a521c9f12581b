"""Write the tables of docs/performance.md from the committed results.

python -m benchmarks.report
"""

from benchmarks.report import PAGE, render

if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
