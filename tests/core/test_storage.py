"""Array files whose header does not fit what they hold."""

import json

import numpy as np
import pytest

from otspec.core.errors import BadFile
from otspec.core.storage import map_arrays, write_arrays


@pytest.mark.parametrize("changed", [{"shape": [7]}, {"shape": [5]}, {"shape": [2, 4]}, {"shape": [-6]}, {"shape": 6},
                                     {"shape": [6.0]}, {"shape": [1] * 9}, {"data_offsets": [8, 48]},
                                     {"data_offsets": [0, 48, 48]}, {"dtype": "F32"}])
def test_a_shape_that_does_not_fit_its_place_is_refused(changed, tmp_path):
    path = tmp_path / "arrays"
    write_arrays(path, [{"law": np.arange(6.0)}], {"what": "six"})
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    header["law"].update(changed)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + whole[8 + size :])
    with pytest.raises(BadFile, match=r"law has shape .* which do not fit together: altered. Fix: copy"):
        map_arrays(path)
