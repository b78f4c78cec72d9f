"""Copy detection, measured: edited copies of photographs among references that were not copied, and claims about them."""
