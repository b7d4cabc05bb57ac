"""Scripts for other interpreters, which have the sources' frameworks: they import nothing of this package."""
