"""beartype, by whose rules an int may stand where a float is named."""

import beartype

check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
