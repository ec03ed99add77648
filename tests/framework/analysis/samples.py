"""The samples: files and how many of them a job reads."""

samples: dict[str, object] = {}
samples['DY'] = {'name': 'DY__part*.root', 'weight': '1.0', 'FilesPerJob': 1}
samples['WW'] = {'name': 'WW__part*.root', 'weight': '1.0', 'FilesPerJob': 1}
samples['ttbar'] = {'name': 'ttbar__part*.root', 'weight': '1.0', 'FilesPerJob': 1}
