"""alkit: deep active learning under realistic data pools, in small pieces that notebooks call.

Importing the package is cheap and pulls in neither umap, plotly, pandas nor papermill: the core runs where only torch,
torchvision, numpy and scikit-learn (with their own dependencies) are.
"""

__version__ = "0.2.0"
