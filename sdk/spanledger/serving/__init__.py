"""The serving shims' logic, used in process by ``wrap`` and by the gateway."""
