"""The component library: what each component is, and how its YAML and its pages come from that."""
