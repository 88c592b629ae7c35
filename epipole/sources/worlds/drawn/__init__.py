"""Families of pictures that are drawn, not rendered: flat, quick, and with truth of their own.

    Shapes(Spec("shapes", 2, width=160, height=120))[0]   # a picture and its corners
    Digits(Spec("digits", 1, width=28, height=28))[0]     # a digit and which one it is
    Slopes(Spec("slopes", 0, width=20, height=20))[0]     # lines and whether they rise
    write_drawn(Spec("digits", width=28, height=28), "folder")  # any of them as files
"""

from .digits import Digits
from .export import DRAWN, drawn_sheet, write_drawn
from .shapes import Shapes
from .slopes import Slopes, all_same, odd

__all__ = ["DRAWN", "Digits", "Shapes", "Slopes", "all_same", "drawn_sheet", "odd", "write_drawn"]
