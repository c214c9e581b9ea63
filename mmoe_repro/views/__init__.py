"""How findings are shown: each picture's data once, and what draws it as files and on the page.

Pictures are files, drawn from Matplotlib's defaults: the user's own settings of it are for the user's own figures. It
reads them when it is imported, and one `matplotlibrc` that is no text in UTF-8 would end the program. The first that it
looks for is in the current folder, so it is imported in another one.
"""

import os
from contextlib import chdir
from pathlib import Path

os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
with chdir(Path(__file__).parent):
    import matplotlib  # noqa: F401
