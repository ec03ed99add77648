"""Systematic uncertainties: weights up and down, and an envelope over variations of the scale."""

nuisances: dict[str, object] = {}
nuisances['lumi'] = {'kind': 'weight'}
nuisances['trigger'] = {'kind': 'weight'}
nuisances['QCDscale'] = {'kind': 'weight_envelope'}
