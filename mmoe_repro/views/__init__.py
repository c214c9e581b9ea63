"""How findings are shown: each picture's data once, and what draws it as files and on the page."""
