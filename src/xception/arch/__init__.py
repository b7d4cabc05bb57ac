"""The networks: specifications, the table of variants, and the graph they unfold to. No torch here."""
