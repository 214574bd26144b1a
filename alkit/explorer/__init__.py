"""The feature-space explorer: one HTML file, no server, no network, for a pool of up to 100,000 images.

    from alkit import explorer
    explorer.write("page.html", features_ND, images, {"class": names, "loss": losses})

is all it takes for arrays of your own. `python -m alkit explore` makes the page of one of the study's pools from its
finished runs.
"""

from alkit.explorer import palette, projection
from alkit.explorer.page import write
from alkit.explorer.purchases import Circles, Purchases

__all__ = ["Circles", "Purchases", "palette", "projection", "write"]
