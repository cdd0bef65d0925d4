"""Slow twins: the definitions of the papers written as plain loops, in the papers' letters.

Throughout, ``p`` is the target law, ``q`` the draft law, ``k`` the number of drafts and ``gamma`` the
length of a drafted block. Nothing here imports the package under test, nothing is vectorised, and every
function that only adds, multiplies and divides also runs on :class:`fractions.Fraction`, so an identity
can be confirmed without a tolerance. Fast code is compared with these at small sizes.
"""
