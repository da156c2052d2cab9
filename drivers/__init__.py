"""How to talk to the equipment: one module per protocol, one YAML profile per device model."""
