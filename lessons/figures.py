"""What several lessons draw, or what takes more lines than it teaches."""

import numpy as np


def tiles(images):
    """Small images side by side, with a line of white around each.     (rows,columns,h,w) -> one image"""
    rows, columns, h, w = images.shape
    framed = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return framed.swapaxes(1, 2).reshape(rows * (h + 2), columns * (w + 2))


def figure_1():
    """Figure 1 of the paper, with M2's generative model beside it.  A grey node is observed; an arrow says what is
    drawn from what."""
    import daft
    ours, encoders = ("yz", "zx"), ("xy", "xz", "yz")
    graphs = (("(a) p, y latent", ours, "x", "theta"), ("(b) q, y latent", encoders, "x", "phi"),
              ("(c) p, y observed", ours, "xy", "theta"), ("(d) q, y observed", encoders[1:], "xy", "phi"),
              ("M2: p, y latent", ("yx", "zx"), "x", "theta"))
    pgm = daft.PGM(dpi=75, grid_unit=1.8)
    for i, (title, edges, observed, parameter) in enumerate(graphs):
        left = 2.7 * i
        for node, place in {"y": (1.1, 3), "z": (1.7, 2), "x": (1.1, 1)}.items():
            pgm.add_node(node + title, f"${node}$", left + place[0], place[1], observed=node in observed)
        pgm.add_node("w" + title, rf"$\{parameter}$", left + 0.1, 2, fixed=True, offset=(-9, -4))
        for edge in edges:
            pgm.add_edge(edge[0] + title, edge[1] + title)
        for end in {edge[1] for edge in edges}:
            pgm.add_edge("w" + title, end + title, plot_params={"ec": "0.6", "fc": "0.6"})
        pgm.add_plate([left + 0.45, 0.4, 1.75, 3.1], label="each image", position="bottom right")
        pgm.add_text(left + 0.3, 3.7, title)
    pgm.render().text(0.5, 1.08, "Figure 1: GM-DGM's generative model p and encoders q; M2 for comparison",
                      transform=pgm.ax.transAxes, ha="center", fontsize=13)
