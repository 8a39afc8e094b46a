"""The test cases of interop.py, a module for each kind."""
