"""A reconstruction of nothing."""

import numpy as np
import uproot

with uproot.recreate("../../reco_RAW2DIGI_L1Reco_RECO_USER.root") as file:
    file["Events"] = {"run": np.arange(20)}
