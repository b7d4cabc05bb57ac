"""`python -m pages` writes all pages that are made from the code, and prints those that changed."""

from pages.table import write_pages

if __name__ == "__main__":
    for path in write_pages():
        print(path)
