"""A language model that fills the same slots as the rules, where they are unsure. Optional: SKUREEL_READER__*.

It extracts and does not write: of its answer nothing reaches a prompt but words of the product, as the rules read them.
`question`, `answer` and `support` are pure. Not here: when a product is understood well enough (`spec`).
"""
