"""What is plotted: bins, first and last edge."""

variables: dict[str, object] = {}
variables['mll'] = {'range': (8, 0, 200)}
variables['ptll'] = {'range': (6, 0, 150)}
