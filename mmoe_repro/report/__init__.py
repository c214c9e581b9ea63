"""The command `report`: what a sweep's results say, on one page."""
