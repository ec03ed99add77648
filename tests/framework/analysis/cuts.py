"""The phase space and its categories."""

cuts: dict[str, object] = {}
cuts['emu'] = {'categories': ['0j', '1j']}
