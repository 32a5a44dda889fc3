"""Random small affine maps of images, t(x): rotation, scale, shear and shift, bilinear."""

import math

import numpy as np

from .backend import fused, namespace, numbers

ROTATION = math.radians(12)
SCALE = 0.10
SHEAR = 0.15
SHIFT = 2 / 28  # of the image's width


@fused
def elements(rotation, rows, columns, shear, down, right, shift):
    """Those of A, row by row."""
    xp = namespace(rotation)
    angle, shear = ROTATION * rotation, SHEAR * shear
    rows, columns = 1 + SCALE * rows, 1 + SCALE * columns
    cos, sin = xp.cos(angle), xp.sin(angle)
    return (rows * cos, columns * (shear * cos - sin), shift * down,
            rows * sin, columns * (shear * sin + cos), shift * right)


def affine_maps(u, image_shape):
    """A (…,2,3), which maps a pixel's position in t(x), measured from the centre, to that in x.
    u (…,6) uniform on [−1, 1]: rotation, scale along both axes, shear, shift along both axes."""
    xp = namespace(u)
    parts = elements(*(u[..., k] for k in range(6)), SHIFT * max(image_shape))
    return xp.reshape(xp.stack(parts, axis=-1), (*u.shape[:-1], 2, 3))


@fused
def from_centre(pixel, w, centre_i, centre_j):
    """Row and column of a pixel by its number in an image of width w, from the centre, and 1."""
    i, j = (pixel // w).astype(np.float32), (pixel % w).astype(np.float32)
    return i - centre_i, j - centre_j, 0 * i + 1


@fused
def corner(i, j, centre_i, centre_j, bottom, right, width):
    """The pixel above and left of a place from the centre, by its number, and how far below and right of it the place
    lies; a place outside is moved to the edge."""
    xp = namespace(i)
    i, j = xp.clip(i + centre_i, 0, bottom), xp.clip(j + centre_j, 0, right)
    above, left = xp.floor(i), xp.floor(j)
    return above * width + left, i - above, j - left


@fused
def between(above_left, above_right, below_left, below_right, di, dj):
    """Bilinear interpolation."""
    above = above_left + dj * (above_right - above_left)
    below = below_left + dj * (below_right - below_left)
    return above + di * (below - above)


def affine(images, maps, pixels=None):
    """t(x) at the given pixels (None: all), zero outside the image.
    images (…,N,h,w) float32, maps (…,N,2,3), pixels (P,) of 0 … h·w − 1 -> (…,N,P)"""
    xp = namespace(images)
    *runs, h, w = images.shape
    N, f32, centre_i, centre_j = math.prod(runs), images.dtype, (h - 1) / 2, (w - 1) / 2
    pixels = numbers(h * w, xp) if pixels is None else pixels
    padded = xp.zeros((N, h + 3, w + 3), dtype=f32)  # so that all four neighbours exist everywhere
    padded[:, 1:-2, 1:-2] = xp.reshape(images, (N, h, w))
    source = xp.asarray(xp.reshape(maps, (N, 2, 3)), dtype=f32) @ xp.stack(from_centre(pixels, w, centre_i, centre_j))
    first, di, dj = corner(source[:, 0], source[:, 1], centre_i + 1, centre_j + 1, h + 1, w + 1, w + 3)
    first = xp.asarray(first, dtype=xp.int32) + numbers(N, xp, xp.int32, step=(h + 3) * (w + 3))[:, None]
    flat = xp.reshape(padded, (-1,))
    neighbours = (xp.take(flat[start:], first) for start in (0, 1, w + 3, w + 4))
    return xp.reshape(between(*neighbours, di, dj), (*runs, pixels.shape[0]))
