"""Networks, the weights they load, and the device they run on."""
