"""A process between the judge and a healthy server that changes answers by rules."""
