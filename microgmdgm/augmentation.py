"""Random small affine maps of images, t(x): rotation, scale, shear and shift, bilinear."""

import math

from .backend import namespace

ROTATION = math.radians(12)
SCALE = 0.10
SHEAR = 0.15
SHIFT = 2 / 28  # of the image's width


def affine_maps(u, image_shape):
    """A (…,2,3), which maps a pixel's position in t(x), measured from the centre, to that in x.
    u (…,6) uniform on [−1, 1]: rotation, scale along both axes, shear, shift along both axes."""
    xp = namespace(u)
    angle, shear = ROTATION * u[..., 0], SHEAR * u[..., 3]
    rows, columns = 1 + SCALE * u[..., 1], 1 + SCALE * u[..., 2]
    cos, sin = xp.cos(angle), xp.sin(angle)
    size = max(image_shape)
    first = xp.stack([rows * cos, columns * (shear * cos - sin), SHIFT * size * u[..., 4]], axis=-1)
    second = xp.stack([rows * sin, columns * (shear * sin + cos), SHIFT * size * u[..., 5]], axis=-1)
    return xp.stack([first, second], axis=-2)


def affine(images, maps, pixels=None):
    """t(x) at the given pixels (None: all), zero outside the image.
    images (…,N,h,w) float32, maps (…,N,2,3), pixels (P,) of 0 … h·w − 1 -> (…,N,P)"""
    xp = namespace(images)
    *runs, h, w = images.shape
    N, f32 = math.prod(runs), images.dtype
    pixels = xp.arange(h * w) if pixels is None else pixels
    padded = xp.zeros((N, h + 3, w + 3), dtype=f32)  # so that all four neighbours exist everywhere
    padded[:, 1:-2, 1:-2] = xp.reshape(images, (N, h, w))
    i, j = (xp.asarray(a, dtype=f32) for a in (pixels // w, pixels % w))
    places = xp.stack([i - (h - 1) / 2, j - (w - 1) / 2, xp.ones_like(i)])
    source = xp.asarray(xp.reshape(maps, (N, 2, 3)), dtype=f32) @ places
    i = xp.clip(source[:, 0] + ((h - 1) / 2 + 1), 0, h + 1)
    j = xp.clip(source[:, 1] + ((w - 1) / 2 + 1), 0, w + 1)
    i0, j0 = xp.floor(i), xp.floor(j)
    di, dj = i - i0, j - j0
    image = xp.arange(N, dtype=xp.int32)[:, None] * ((h + 3) * (w + 3))
    corner = xp.asarray(i0 * (w + 3) + j0, dtype=xp.int32) + image
    pixel = xp.reshape(padded, (-1,))
    above, below = (xp.take(pixel, corner + row) for row in (0, w + 3))
    above += dj * (xp.take(pixel, corner + 1) - above)
    below += dj * (xp.take(pixel, corner + (w + 4)) - below)
    above += di * (below - above)
    return xp.reshape(above, (*runs, pixels.shape[0]))
