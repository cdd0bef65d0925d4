"""The exact optimum of draft-and-verify and its certificates: winner laws, hulls, races, flows, cuts.

Every module here is plain functions over float64 arrays; each is imported by its full name, so that
asking for one does not load the compilers and solvers of the others.
"""
