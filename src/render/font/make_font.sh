#!/bin/sh
# Subsets the two fonts to the characters that class names and file names need.
# Source: DejaVu 2.37 (Debian package fonts-dejavu-core 2.37-6); tool: fonttools 4.68.0 (pyftsubset).
# Usage: make_font.sh [folder of the full fonts]
set -eu
from=${1:-/usr/share/fonts/truetype/dejavu}
here=$(dirname "$0")
# Latin with accents, Greek, Cyrillic, dashes and quotes, euro, arrows, minus, almost-equal.
letters=U+0020-007E,U+00A0-017F,U+0218-021B,U+0386-03CE,U+0400-045F,U+0490-0491,U+2010-2015,U+2018-201E,U+2022,U+2026,U+2030,U+20AC,U+2190-2193,U+2212,U+2248,U+2264,U+2265,U+FFFD
for name in DejaVuSans DejaVuSans-Bold; do
    pyftsubset "$from/$name.ttf" --unicodes="$letters" --no-hinting --desubroutinize \
        --layout-features='' --drop-tables+=GPOS,GSUB,GDEF,MATH --legacy-kern \
        --name-IDs='0,1,2,5,13,14' --output-file="$here/$name.subset.ttf"
done
