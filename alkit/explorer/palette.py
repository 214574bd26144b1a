"""The one home of colours, symbols and dashes: of categories, methods, families and scales, on pages and in figures."""

TEXT, FAINT = "#7a7a7a", "rgba(122,122,122,0.28)"  # TEXT: at least 4:1 on white and on #0d1117
GREY = "#8a8f98"  # of images without a category, without a score, not bought
RAMP = (
    "#2a6fdb",
    "#7b5cd6",
    "#c0449e",
    "#e8553f",
    "#f5a11a",
)  # of scores, low to high; without red against green

CATEGORIES = ("iD", "ambiguous", "OoD")
CATEGORY_STYLE = (
    ("#1170d8", "circle", ""),
    ("#b8117a", "diamond", "/"),
    ("#f25c05", "x", "x"),
)  # colour, symbol, hatching

KIND_STYLE = (  # of images in one stage of Distance(CL), numbered as in `purchases`: name, colour, symbol
    ("unlabelled", GREY, "circle"),
    ("labelled iD", CATEGORY_STYLE[0][0], "circle"),
    ("labelled non-iD", "#885500", "x"),
    ("bought inside", "#e0142d", "circle"),
    ("bought outside", "#0d8f5b", "diamond"),
)

METHOD_STYLE = {  # colour, dash, symbol
    "Random": ("#779988", "dot", "circle"),
    "Least confidence": ("#0066aa", "dash", "square"),
    "Entropy": ("#7722ff", "dashdot", "triangle-up"),
    "DDU": ("#bb77dd", "longdash", "cross"),
    "DDU (spectral norm)": ("#cc3311", "12px,3px,3px,3px,3px,3px", "hexagon"),
    "Random(CL)": ("#bb1166", "longdashdot", "diamond"),
    "Distance(CL)": ("#ff5511", "solid", "star"),
}

PALETTE = (
    "#226699",
    "#ff5511",
    "#22aa55",
    "#bb0088",
    "#7788ff",
    "#556644",
    "#ff44cc",
    "#0099bb",
    "#cc0011",
    "#8833cc",
    "#aa6677",
    "#0055ff",
)

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down", "hexagon", "pentagon")

DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot")

FAMILY_STYLE = {  # of strategies: colour, symbol
    "paper": (PALETTE[0], "square"),
    "classic": (PALETTE[2], "circle"),
    "open-set": (PALETTE[1], "diamond"),
    "ours": (PALETTE[3], "star"),
    "reference": (TEXT, "asterisk-open"),
}
