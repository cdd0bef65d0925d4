"""The exact optimum of draft-and-verify and its certificates.

The door is `otspec.transport.bounds`. Behind it:

* ``without_replacement``: drafts drawn without replacement, the race that gives their capacities
* ``winner``: winner laws, from laws sorted by target/draft and the capacities of their prefixes
* ``sampler``: the convex-hull sampler, which picks a draft so that the pick has a given winner law
* ``drafters``: drafts from several different laws
* ``programme``: linear programmes and flows on draft sets, cuts, blocks

Everything is plain functions over float64 arrays. A module that numba compiles and its twin in whole-array operations,
for other libraries and devices, stand side by side as ``name`` and ``name_parallel``. Each module is imported by its
full name, so that asking for one does not load the compilers and solvers of the others.
"""
