"""The parts of `ullage.pool`: what drives the scheduler, moves models, and watches the machine."""
