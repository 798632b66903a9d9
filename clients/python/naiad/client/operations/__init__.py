"""Every operation of the API as a function from arguments to a Call: one module for each service.

`Client` and `AsyncClient` take their methods, signatures and documentation from here, so both have the same
surface.
"""
