cwlVersion: v1.0
class: Workflow
inputs: {events: int}
outputs: {}
steps: []
