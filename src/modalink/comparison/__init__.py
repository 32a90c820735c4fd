"""Several designs, trained on the same data and budget, and what they reach on the same questions.

`design.py` says what is compared, `recipes.py` makes the designs comparable, `running.py` trains and asks one after the
other, `results.py` weighs the answers, `page.py` writes them down. `studies/` are comparisons that ship.
"""

from modalink.comparison.design import Comparison, Design, Rates
from modalink.comparison.page import write_pages
from modalink.comparison.results import Results
from modalink.comparison.running import OnRun, compare

__all__ = ["Comparison", "Design", "OnRun", "Rates", "Results", "compare", "write_pages"]
