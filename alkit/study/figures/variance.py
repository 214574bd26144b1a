"""Figures of how much is the learner's and how much the strategy's, and of what holds elsewhere."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from alkit.explorer.palette import FAINT, GREY, INK, PALETTE, TEXT
from alkit.study.analysis import cost_tables, display_names, paired_differences, variance
from alkit.study.figures import findings
from alkit.study.figures.comparison import AXIS_TITLES, ROW
from alkit.study.figures.label_places import name_marks
from alkit.study.figures.measurements import HATCH, origin
from alkit.study.figures.style import RIGHT, WIDTH, layout, marks, transparent

LEARNERS = {  # colour, symbol
    "supervised": (PALETTE[11], "square"),
    "probe": (PALETTE[1], "diamond"),
    "contrastive": (PALETTE[3], "star"),
    "supervised_sn": (PALETTE[8], "hexagon"),
}


SPARE_STYLES = (  # for learners with options
    (PALETTE[9], "cross"),
    (PALETTE[5], "triangle-up"),
    (PALETTE[7], "pentagon"),
)


SHARES = ("area", "accuracy", "cost", "cost_per_accuracy", "purity")


PARTS = dict(
    zip(
        variance.PARTS,
        (  # colour, hatching
            (PALETTE[1], ""),
            (PALETTE[0], "/"),
            (PALETTE[3], "x"),
            (TEXT, ""),
            (GREY, ""),
        ),
    )
)


SHORT = {
    "area": "accuracy for the same money",
    "area_labels": "accuracy for the same labels",
    "accuracy": "final accuracy",
    "cost": "annotation cost",
    "cost_per_accuracy": "cost per 1 % of accuracy",
    "purity": "share of iD bought",
    "ambiguous_share": "share of ambiguous bought",
    "seconds": "seconds",
}


def learner_styles(names: list[str]) -> dict[str, tuple[str, str]]:
    """(colour, symbol) of each learner; learners with options take the spare ones in turn."""
    spare = [name for name in names if name not in LEARNERS]
    return {name: LEARNERS.get(name) or SPARE_STYLES[spare.index(name) % len(SPARE_STYLES)] for name in names}


def learners(df: pd.DataFrame, number: str = "area", *, baseline: str = "random") -> go.Figure:
    """Every strategy on every learner: paired differences of `number` to the baseline strategy on the first learner.

    `df`: one of `variance.crossings`. A row per strategy, a mark with its bootstrap interval per learner, filled where
    p < 0.05 after Holm; vertical lines: the baseline strategy on each learner. So how far the lines lie apart is the
    learner's gain, how far marks lie from their line the strategy's. ValueError as `paired_differences.differences`.
    """
    runs = paired_differences.per_run(df)
    names = runs.drop_duplicates("method").set_index("method")[["learner_name", "strategy_name"]]
    methods = {tuple(row): method for method, row in zip(names.index, names.to_numpy(), strict=True)}
    order = [name for name in (*LEARNERS, *names["learner_name"]) if name in set(names["learner_name"])]
    order, styles = list(dict.fromkeys(order)), learner_styles(list(dict.fromkeys(order)))
    zero = methods[order[0], baseline]
    found = paired_differences.differences(runs, zero, number)
    itself = pd.DataFrame(dict(mean=0.0, low=0.0, high=0.0, p_holm=1.0), index=[zero])  # a mark on its own line
    found = pd.concat([found[[*itself.columns, "n_seeds"]], itself]).join(names)
    means = found.groupby("strategy_name")["mean"].mean().sort_values(ascending=not paired_differences.NUMBERS[number])
    rows, fig = [display_names.strategy(name) for name in means.index], go.Figure()
    zero_name = display_names.strategy(baseline)
    spans = found.groupby("strategy_name")["mean"].agg(["min", "max"]).loc[means.index]
    fig.add_trace(
        go.Scatter(
            x=np.ravel([[low, high, None] for low, high in spans.to_numpy()]),
            y=np.repeat(rows, 3),
            mode="lines",
            line=dict(color=FAINT, width=5),
            hoverinfo="skip",
            showlegend=False,
            connectgaps=False,
        )
    )
    for name in order:
        own, (colour, symbol) = found[found["learner_name"] == name], styles[name]
        fig.add_trace(
            go.Scatter(
                x=own["mean"],
                y=own["strategy_name"].map(display_names.strategy),
                name=name,
                mode="markers",
                marker=dict(
                    color=colour,
                    size=10,
                    line=dict(width=2, color=colour),
                    symbol=[symbol + "-open" * (not p < paired_differences.LEVEL) for p in own["p_holm"]],
                ),
                error_x=dict(
                    type="data",
                    symmetric=False,
                    array=own["high"] - own["mean"],
                    arrayminus=own["mean"] - own["low"],
                    color=transparent(colour, 0.7),
                    thickness=1.5,
                    width=0,
                ),
                customdata=own[["low", "high", "p_holm"]],
                hovertemplate=f"%{{y}}, {name}<br>%{{x:+.3g}}, 95 % interval %{{customdata[0]:+.3g}} to "
                "%{customdata[1]:+.3g}<br>p after Holm %{customdata[2]:.2g}<extra></extra>",
            )
        )
        level = 0.0 if name == order[0] else found.loc[methods[name, baseline], "mean"]
        fig.add_vline(level, line=dict(color=colour, width=1.5, dash="dot"), layer="below")
    fig.update_xaxes(title_text=f"{AXIS_TITLES[number]}, minus that of {zero_name} on {order[0]}")
    fig.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=rows, showgrid=False)
    fig.update_layout(legend=dict(orientation="h", x=0, y=1.01, yanchor="bottom"))
    wins = "more is better" if paired_differences.NUMBERS[number] else "less is better"
    gains = {name: float(found.loc[methods[name, baseline], "mean"]) for name in order[1:]}
    own_line = found["learner_name"].map({order[0]: 0.0, **gains})
    added = float((found["mean"] - own_line).max())
    note = paired_differences.seeds_note(int(found["n_seeds"].iloc[0]), len(found) - 1)
    return layout(
        fig,
        findings.of_learners(gains, added, order[0], " points" if number in ("area", "accuracy") else ""),
        f"{origin(df)}; mean and 95 % bootstrap interval, paired by seed; {wins}; filled: p < 0.05 after Holm<br>"
        f"dotted lines: {zero_name} on each learner. Far lines: the learner matters; marks far from their line: the "
        f"strategy does<br><span style='font-size:12px'>{note}</span>",
        220 + ROW * len(rows),
        top=150,
    )


def shares(df: pd.DataFrame) -> go.Figure:
    """Stacked bars of `variance.shares`: how much of the spread is the learner's, the strategy's, the seed's."""
    runs = paired_differences.per_run(df)
    tables = {SHORT[number]: variance.shares(runs, number) for number in SHARES}
    fig = go.Figure()
    for part, (colour, hatching) in PARTS.items():
        values = [100 * table.loc[part, "share"] for table in tables.values()]
        chance = [100 * table.loc[part, "chance"] for table in tables.values()]
        fig.add_trace(
            go.Bar(
                x=values,
                y=list(tables),
                orientation="h",
                name=part,
                marker=dict(color=colour, pattern=dict(HATCH, shape=hatching), line_width=0),
                text=[f"<b>{value:.0f}</b>" if value >= 5 else "" for value in values],
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                constraintext="none",
                textfont=dict(size=13, color=INK if part == "rest" else "#ffffff"),
                customdata=chance,
                hovertemplate=f"{part}: %{{x:.1f}} % of the spread of %{{y}}"
                + ("" if part == "rest" else "<br>(noise alone would give %{customdata:.1f} %)")
                + "<extra></extra>",
            )
        )
    ranked = runs[runs["family"] != "reference"]
    counts = [ranked[axis].nunique() for axis in ("learner_name", "strategy_name")]
    fig.update_xaxes(title_text="% of the spread over all runs (sums of squares)", range=[0, 100.5])
    fig.update_yaxes(autorange="reversed", showgrid=False)
    fig.update_layout(barmode="stack", legend=dict(orientation="h", x=0, y=1.02, yanchor="bottom", traceorder="normal"))
    names = " and ".join(", ".join(dict.fromkeys(ranked["learner_name"])).rsplit(", ", 1))
    return layout(
        fig,
        findings.of_shares(tables[SHORT[SHARES[0]]]["share"], SHORT[SHARES[0]]),
        f"{origin(df)}; {counts[0]} learners ({names}) x {counts[1]} strategies, complete<br>"
        "rest: what a seed does to single runs. Shares describe these learners and strategies, not all there are",
        180 + 46 * len(tables),
        top=130,
    )


def agreement(joint: pd.DataFrame, one: str, other: str, number: str = "area") -> go.Figure:
    """Each strategy's difference to random in two places, with intervals; `joint` is `variance.agreement`'s.

    `one` and `other` say where, as the axes' titles do. In the upper right and lower left quarter a strategy's gain or
    loss has the same sign in both. Names stand by marks that are significant (after Holm) in at least one of the two.
    """
    counts = variance.verdict(joint)
    fig, families = go.Figure(), list(dict.fromkeys(joint["family"]))
    sure = joint[["p_holm_one", "p_holm_other"]].lt(paired_differences.LEVEL).sum(axis=1)
    shown = [display_names.strategy(name) for name in joint.index]
    names = [name if count else "" for name, count in zip(shown, sure, strict=True)]
    for level in (dict(x=0), dict(y=0)):
        draw = fig.add_vline if "x" in level else fig.add_hline
        draw(**level, line=dict(color=TEXT, width=1.5, dash="dot"), layer="below")
    for family in families:
        own = (joint["family"] == family).to_numpy()
        rows = joint[own]
        colours, symbols = marks(list(rows.index), list(rows["family"]))
        bars = {
            axis: dict(
                type="data",
                symmetric=False,
                array=rows[f"high_{side}"] - rows[f"mean_{side}"],
                arrayminus=rows[f"mean_{side}"] - rows[f"low_{side}"],
                color=transparent(GREY, 0.6),
                thickness=1,
                width=0,
            )
            for axis, side in (("error_x", "one"), ("error_y", "other"))
        }
        fig.add_trace(
            go.Scatter(
                x=rows["mean_one"],
                y=rows["mean_other"],
                name=cost_tables.FAMILIES[family],
                mode="markers",
                **bars,
                cliponaxis=False,
                hovertext=np.array(shown, object)[own],
                showlegend=False,
                marker=dict(
                    color=colours,
                    size=11,
                    line=dict(width=2, color=colours),
                    symbol=[symbol + "-open" * (n < 2) for symbol, n in zip(symbols, sure[own], strict=True)],
                ),
                hovertemplate=f"%{{hovertext}}<br>{one}: %{{x:+.2f}}<br>{other}: %{{y:+.2f}}<extra></extra>",
            )
        )
    span = {side: (joint[f"low_{side}"].min(), joint[f"high_{side}"].max()) for side in ("one", "other")}
    (across, up) = ((low - 0.05 * (high - low), high + 0.05 * (high - low)) for low, high in span.values())
    fig.update_xaxes(range=across).update_yaxes(range=up)
    one, other = (display_names.POOLS.get(place, place) for place in (one, other))
    fig.update_xaxes(title_text=f"{one}: {SHORT[number]}, minus Random's")
    fig.update_yaxes(title_text=f"{other}: {SHORT[number]}, minus Random's")
    rho = "" if np.isnan(counts["rank_correlation"]) else f"; rank correlation {counts['rank_correlation']:+.2f}"
    layout(
        fig,
        f"{counts['same_sign']} of {counts['strategies']} strategies gain in both places, or lose in both",
        f"{one} and {other}; differences to Random{rho}<br>"
        "bars: 95 % bootstrap intervals over seeds; filled: p < 0.05 after Holm in both, named: in at least one",
        660,
        top=130,
        left=80,
    )
    size = WIDTH - fig.layout.margin.l - RIGHT, fig.layout.height - fig.layout.margin.t - fig.layout.margin.b
    at = pd.DataFrame({"x": joint["mean_one"], "y": joint["mean_other"]})
    bars = [
        np.array([[row[f"{end}_one"], row["mean_other"]] for end in ("low", "high")]) for _, row in joint.iterrows()
    ] + [np.array([[row["mean_one"], row[f"{end}_other"]] for end in ("low", "high")]) for _, row in joint.iterrows()]
    zeros = [np.array([[0, up[0]], [0, up[1]]]), np.array([[across[0], 0], [across[1], 0]])]
    name_marks(fig, at, names, [TEXT] * len(at), across, up, size, lines=[*bars, *zeros], font=12)
    return fig
