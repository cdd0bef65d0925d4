"""The optimum as a programme on draft sets: linear (HiGHS, cvxpy), as a maximum flow, its cut, and by block."""
