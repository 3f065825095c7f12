"""The traits that come with the laboratory, by source; each is one function over what was seen up to `as_of`.

They are shown in the order of these imports.
"""

from crmlab.base.built_in import buying, scores, baskets, contacts, texts, people, survey  # noqa: F401, I001
