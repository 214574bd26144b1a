"""The one home of colours, symbols and dashes: of categories, methods, families and scales, on pages and in figures."""

import colorsys

GROUND, INK = "#ffffff", "#1f2328"  # of figures, which have a white ground on every page; INK: their texts
TEXT, FAINT = "#59636e", "rgba(122,122,122,0.28)"  # of lines that are no data: references, axes; and of grids
GREY = "#8a8f98"  # of images without a category, without a score, not bought; of methods that are not highlighted
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

METHOD_STYLE = {  # colour, dash, symbol of the methods that most figures show; on dark pages by `on_dark`
    "Random": ("#668888", "dot", "circle"),
    "Least confidence": ("#0000aa", "dash", "square"),
    "Entropy": ("#6644ff", "dashdot", "triangle-up"),
    "DDU": ("#0066aa", "longdash", "cross"),
    "DDU (spectral norm)": ("#660044", "12px,3px,3px,3px,3px,3px", "hexagon"),
    "Random(CL)": ("#882200", "longdashdot", "diamond"),
    "Distance(CL)": ("#ee4400", "20px,3px", "star"),
    "Cautious coverage": ("#aa0066", "solid", "pentagon"),
    "Margin": ("#004400", "6px,2px", "triangle-down"),
    "TypiClust": ("#7a00b3", "16px,4px,4px,4px", "x"),
    "BADGE": ("#ee00ff", "10px,3px,2px,3px,2px,3px", "triangle-left"),
}

HIGHLIGHTED = ("Cautious coverage", "Distance(CL)", "Margin", "BADGE", "TypiClust", "Random")  # where there are many

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

ON_DARK = 5.0  # contrast to a page in its dark theme, at least
PALER = {  # what would be like another one there
    "#ff44cc": "#ffb0e8",
    "#7788ff": "#c3caff",
    "#668888": "#799a92",
    "#0000aa": "#7d92d4",
    "#6644ff": "#977fff",
    "#0066aa": "#05d7ff",
    "#660044": "#ff8ff5",
    "#882200": "#f5d0b8",
    "#ee4400": "#ff6205",
    "#aa0066": "#ff5290",
    "#004400": "#aaff8f",
    "#7a00b3": "#e352ff",
    "#ee00ff": "#ffccfc",
}


def on_dark(colour: str) -> str:
    """The hue of `colour` as a dark page shows it: lighter, until its contrast to the page is `ON_DARK`.

    `colour` "#rrggbb"; the page's luminance is taken for 0.015, that of its panels.
    """
    if colour in PALER:
        return PALER[colour]
    hue, lightness, saturation = colorsys.rgb_to_hls(*(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)))
    while (luminance(colour) + 0.05) / (0.015 + 0.05) < ON_DARK:
        lightness += 0.01
        channels = colorsys.hls_to_rgb(hue, lightness, saturation)
        colour = "#{:02x}{:02x}{:02x}".format(*(round(255 * value) for value in channels))
    return colour


def luminance(colour: str) -> float:
    """Relative luminance of "#rrggbb" in 0..1 (WCAG 2)."""
    linear = []
    for at in (1, 3, 5):
        value = int(colour[at : at + 2], 16) / 255
        linear.append(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
