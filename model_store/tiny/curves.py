"""The training curves as one small picture."""

from pathlib import Path

from matplotlib.figure import Figure


def plot_curves(work: Path, path: Path) -> None:
    """Losses of the trainings that have run, against minutes, from their log.csv."""
    columns = (
        ("vae", "autoencoder", (2,), ("loss",)),
        ("vae-refined", "decoder, refined", (2,), ("loss",)),
        ("denoiser", "denoiser", (2, 3), ("pictures", "clips")),
    )
    logged = [column for column in columns if (work / column[0] / "log.csv").exists()]
    figure = Figure(figsize=(2.5 * len(logged), 2.6), dpi=80, layout="constrained")
    panels = figure.subplots(1, len(logged), squeeze=False)[0]
    for panel, (folder, title, places, labels) in zip(panels, logged, strict=True):
        log = work / folder / "log.csv"
        rows = [line.split(",") for line in log.read_text(encoding="utf-8").splitlines()]
        for place, label in zip(places, labels, strict=True):
            panel.plot([float(row[1]) / 60 for row in rows], [float(row[place]) for row in rows], label=label)
        panel.set(title=title, xlabel="minutes", yscale="log")
        panel.legend(fontsize="small")
    figure.savefig(path)
