package byteword

// words are 256, one for each value of a byte. Their order is part of what people compare: it never
// changes.
const words = `
able acid acorn actor agent album alley amber angel ankle apple apron arch arena army arrow
atlas attic aunt autumn badge bagel baker bamboo banana banjo barn basin basket beach
beacon bean bear beard bell bench berry bicycle bird blanket block boat bone book border
bottle bowl branch brass bread brick bridge broom brush bucket bug button cabin cable
cactus cake camel camera candle canoe canyon carbon card carpet carrot castle cat cave
cedar cello chain chair chalk cherry chess chimney circle citrus clay cliff clock cloud
clover coast cobalt coconut coffee coin comet compass copper coral corn cotton cow crab
crane crater crayon cricket crown crystal cup curtain daisy dance deer desert desk diamond
dinner doctor dolphin donkey door dragon drum duck dune eagle earth easel echo egg elbow
elk engine fabric falcon farm feather fence fern fiddle field finger flag flame flute foam
forest fork fossil fox frog garden garlic gate ginger giraffe glacier glass glove goat gold
goose grape grass guitar hammer harbor harp hat hawk hazel hedge helmet heron hill hockey
honey horn horse hotel ice igloo ink insect iron island ivory jacket jaguar jelly jewel
juice jungle kayak kettle key kite kitten knee knot ladder lake lamp lantern laptop lava
leaf lemon lentil letter lily linen lion lizard lobster lotus magnet mango maple marble
market meadow melon metal mint mirror mitten monkey moon moss mountain mouse museum music
nail napkin needle nest nickel noodle north nose oak oasis ocean olive onion opal orange
orbit otter oven owl oyster paddle paint palace
`
