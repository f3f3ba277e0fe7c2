"""The training curves as one small picture."""

from pathlib import Path

from matplotlib.figure import Figure


def plot_curves(work: Path, path: Path) -> None:
    """Losses of the autoencoder, its refinement and the denoiser against minutes, from their log.csv."""
    figure = Figure(figsize=(10, 2.6), dpi=80, layout="constrained")
    panels = figure.subplots(1, 4)
    columns = (
        ("vae", "autoencoder", (2,), ("loss",)),
        ("vae-refined", "decoder, refined", (2,), ("loss",)),
        ("denoiser-small", "denoiser, 192x128", (2, 3), ("pictures", "clips")),
        ("denoiser-large", "denoiser, 256x192", (2, 3), ("pictures", "clips")),
    )
    for panel, (folder, title, places, labels) in zip(panels, columns, strict=True):
        log = work / folder / "log.csv"
        rows = [line.split(",") for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
        for place, label in zip(places, labels, strict=True):
            panel.plot([float(row[1]) / 60 for row in rows], [float(row[place]) for row in rows], label=label)
        panel.set(title=title, xlabel="minutes", yscale="log")
        panel.legend(fontsize="small")
    figure.savefig(path)
