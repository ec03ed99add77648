// aliroot would read the definition of the train here.
