"""The feature-space explorer: one HTML file, no server, no network, for a pool of up to 100,000 images.

    from alkit import explorer
    explorer.write("page.html", features_ND, images, {"class": names, "loss": losses})

is all it takes for arrays of your own; `write_benchmark` makes the page of one of the study's pools from its finished
runs.
"""

from alkit.explorer.benchmark import write_benchmark
from alkit.explorer.page import write
from alkit.explorer.purchases import Circles, Purchases

__all__ = ["Circles", "Purchases", "write", "write_benchmark"]
