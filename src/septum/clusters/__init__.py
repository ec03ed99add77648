"""Computing sites as data: a profile holds addresses, method, limits and conventions of one cluster."""
