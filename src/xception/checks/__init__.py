"""Checks of data sets: broken files, copies, leaks and wrong labels."""
