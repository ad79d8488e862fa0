"""Words of several languages by what they do in a question: plain tables, read by `reading`."""

from __future__ import annotations


def of(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


FUNCTION: dict[str, frozenset[str]] = {
    "en": of(
        "a an the this that these those is are am was were be been being do does did done doing have has had having"
        " will would shall should can could may might must ought i you he she it we they me him her us them my your"
        " his its our their mine yours hers ours theirs myself yourself itself themselves ourselves someone somebody"
        " anyone anybody something anything one ones what which who whom whose when where why how and or but if"
        " then than so as of in on at to from for with by about into onto upon through per via regarding concerning"
        " among between within across along around towards toward there here not no nor any such much many some"
        " very vs r u ur pls plz thx too also just ever yet still already quite rather else let lets please kindly hi hello hey thanks"
        " thank dear ok okay well oh either whether because while though although both own same it's i'm"
    ),
    "de": of(
        "der die das den dem des ein eine einen einem einer eines und oder aber ist sind bin bist war waren sein"
        " wird werden wurde wurden habe hat haben hatte hatten kann kannst können könnte könnten muss müssen soll"
        " sollte sollten darf dürfen will wollen möchte ich du er sie es wir ihr mich mir dich dir ihn ihm uns euch"
        " ihnen mein meine meinen meinem meiner meines dein deine deinen unser unsere sich man was wer wem wen wie"
        " wo wann warum wieso weshalb welche welcher welches welchen wozu woher wohin in im an am auf aus bei beim"
        " mit nach von vom zu zum zur für über um als auch denn doch mal eben halt noch schon nur dass wenn ob so da hier"
        " dort bitte danke hallo denn eigentlich gibt es"
    ),
    "fr": of(
        "le la les l un une des du de d et ou mais est sont suis es était étaient être ai as a avons avez ont avait"
        " peut peux pouvons pouvez peuvent puis dois doit devons devez doivent faut je j tu il elle on nous vous ils"
        " elles me m te t se s mon ma mes ton ta tes son sa ses notre nos votre vos leur leurs ce c cet cette ces"
        " que qu qui quoi quel quelle quels quelles où quand comment pourquoi combien dans en sur sous à au aux avec"
        " par pour chez donc alors si y là ici s'il bonjour merci est-ce trouve"
    ),
    "es": of(
        "el la los las un una unos unas y o pero es son soy eres era eran ser está están estoy estaba estar he has ha"
        " hemos han había puede puedo puedes podemos pueden debo debe hay yo tú él ella nosotros ustedes ellos ellas"
        " me te se nos le les lo mi mis tu tus su sus nuestro nuestra este esta esto ese esa eso que qué quién cuál"
        " cuáles dónde cuándo cómo cuánto cuánta cuántos cuántas en de del a al con por para si hola gracias favor"
        " encuentra"
    ),
    "it": of(
        "il lo la i gli le l un uno una e o ma è sono sei era erano essere ho hai ha abbiamo hanno può posso puoi"
        " possiamo possono devo deve io tu lui lei noi voi loro mi ti si ci vi mio mia miei mie tuo tua suo sua"
        " questo questa quello quella che chi quale quali dove quando come perché quanto quanta quanti quante in di"
        " del della dei delle dello a al alla ai alle da dal dalla con per su sul sulla se ciao grazie"
    ),
    "pt": of(
        "o a os as um uma uns umas e ou mas é são sou era eram ser está estão estou estar tenho tem temos têm pode"
        " posso podemos podem devo deve há eu tu você ele ela nós vocês eles elas me te se lhe meu minha meus minhas"
        " teu tua seu sua nosso nossa este esta isto esse essa isso que quem qual quais onde quando como quanto"
        " quanta quantos quantas em de do da dos das no na nos nas ao à com por para pelo pela olá obrigado"
    ),
    "nl": of(
        "de het een en of maar is zijn ben bent was waren worden wordt heb hebt heeft hebben had kan kunt kunnen"
        " moet moeten mag mogen wil willen ik jij je u hij zij ze wij we jullie mij me hem haar ons mijn jouw uw"
        " onze dit dat deze die wat wie welke waar wanneer waarom hoe hoeveel in op aan uit bij met van voor naar"
        " over om te er dan als ook nog alstublieft hallo dank"
    ),
}
NEGATORS: dict[str, frozenset[str]] = {
    "en": of(
        "not no never without none neither nor nothing nobody nowhere cannot unable non nt lack lacking"
    ),
    "de": of("nicht kein keine keinen keinem keiner keines nie niemals ohne nichts niemand weder"),
    "fr": of("ne n pas jamais sans aucun aucune rien personne ni non"),
    "es": of("no nunca jamás sin ningún ninguna ninguno nada nadie ni tampoco"),
    "it": of("non no mai senza nessun nessuna nessuno niente nulla né"),
    "pt": of("não nunca jamais sem nenhum nenhuma nada ninguém nem"),
    "nl": of("niet geen nooit zonder niets niemand noch"),
}
NUMBERS: dict[str, int] = {
    word: value
    for text, start in (
        ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
         " seventeen eighteen nineteen twenty", 0),
        ("null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn"
         " siebzehn achtzehn neunzehn zwanzig", 0),
        ("zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize", 0),
        ("cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince", 0),
        ("zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici", 0),
        ("zero um dois três quatro cinco seis sete oito nove dez onze doze treze catorze quinze", 0),
        ("nul een twee drie vier vijf zes zeven acht negen tien elf twaalf", 0),
        ("_ first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth", 0),
    )
    for value, word in enumerate(text.split(), start)
    if word not in ("un", "uno", "um", "een", "sei", "_", "once", "null", "nul", "dix", "second")
} | {
    "thirty": 30, "forty": 40, "fourty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
    "dreißig": 30, "vierzig": 40, "fünfzig": 50, "sechzig": 60, "siebzig": 70, "achtzig": 80, "neunzig": 90,
    "vingt": 20, "trente": 30, "quarante": 40, "cinquante": 50, "soixante": 60, "veinte": 20, "treinta": 30,
    "cuarenta": 40, "cincuenta": 50, "venti": 20, "trenta": 30, "vinte": 20, "trinta": 30, "twintig": 20,
    "dertig": 30, "dozen": 12, "thirteenth": 13, "fourteenth": 14, "fifteenth": 15, "twentieth": 20,
    "thirtieth": 30, "erste": 1, "ersten": 1, "zweite": 2, "zweiten": 2, "dritte": 3, "dritten": 3, "vierte": 4,
    "vierten": 4, "fünfte": 5, "fünften": 5, "erster": 1, "zweiter": 2, "dritter": 3, "premier": 1, "première": 1,
    "deuxième": 2, "troisième": 3, "quatrième": 4, "primero": 1, "primera": 1, "segundo": 2, "segunda": 2,
    "tercero": 3, "tercera": 3, "primo": 1, "prima": 1, "secondo": 2, "seconda": 2, "terzo": 3, "terza": 3,
    "primeiro": 1, "primeira": 1, "eerste": 1, "tweede": 2, "derde": 3,
}  # fmt: skip
SCALES = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "hundert": 100,
    "tausend": 1000, "millionen": 10**6, "milliarde": 10**9, "milliarden": 10**9, "cent": 100, "mille": 1000,
    "mil": 1000, "cien": 100, "millones": 10**6, "millón": 10**6, "milioni": 10**6, "milhões": 10**6, "honderd": 100,
    "duizend": 1000, "miljoen": 10**6, "mio": 10**6, "mrd": 10**9, "mn": 10**6, "bn": 10**9,
}  # fmt: skip
ROMAN = {"ii": 2, "iii": 3, "iv": 4, "vi": 6, "vii": 7, "viii": 8, "ix": 9, "xi": 11, "xii": 12, "xiii": 13,
         "xiv": 14, "xv": 15, "xvi": 16}  # fmt: skip
UNITS: dict[str, str] = {
    alias: line.split()[0]
    for line in (
        "%unit percent percentage pct prozent pourcent procent",
        "gram g gr grams gramme grammes gramm gramos grammi",
        "kilogram kg kgs kilo kilos kilograms kilogramme kilogrammes kilogramm kilogramos",
        "milligram mg milligrams milligramme",
        "microgram mcg µg ug micrograms",
        "ounce oz ounces",
        "pound lb lbs pounds pfund",
        "ton tons tonne tonnes",
        "metre meter metres meters mètre mètres metros metro metri",
        "centimetre cm centimeter centimetres centimeters zentimeter",
        "millimetre mm millimeter millimetres millimeters millimeter",
        "kilometre km kms kilometer kilometres kilometers kilomètre kilomètres kilómetro kilómetros",
        "mile miles mi meile meilen",
        "foot feet ft fuß",
        "inch inches zoll",
        "yard yards yd",
        "litre liter litres liters litro litros",
        "millilitre ml milliliter millilitres milliliters",
        "gallon gallons gal",
        "pint pints",
        "quart quarts",
        "hour hours hr hrs stunde stunden heure heures hora horas",
        "minute minutes min mins minuten minuto minutos",
        "secondtime sec secs seconds sekunde sekunden secondes segundos",
        "millisecond ms milliseconds msec",
        "day days tag tage tagen jour jours día días dias giorni",
        "week weeks wk woche wochen semaine semaines semana semanas settimana settimane",
        "month months monat monate monaten mois mes meses mese mesi",
        "year years yr yrs jahr jahre jahren an ans année années año años anni anno anos",
        "dollar usd dollars buck bucks $",
        "euro eur euros €",
        "sterling gbp £ quid",
        "yen jpy ¥",
        "franc chf francs",
        "celsius °c centigrade",
        "fahrenheit °f",
        "kilobyte kb kilobytes kib",
        "megabyte mb megabytes mib",
        "gigabyte gb gigabytes gib",
        "terabyte tb terabytes tib",
        "watt watts w",
        "kilowatt kw kilowatts",
        "kilowatthour kwh",
        "mmol/l",
        "mg/dl",
        "km/h kph kmh",
        "mph",
        "am a.m",
        "pm p.m",
    )
    for alias in line.split()
    if alias not in ("an", "mes", "min", "tag")
}  # fmt: skip
# Single letters are units only behind a number or "in".
LETTER_UNITS = {"m": "metre", "s": "secondtime", "h": "hour", "l": "litre", "g": "gram", "w": "watt", "k": "thousand",
                "t": "ton", "v": "volt", "a": "ampere", "b": "byte",
                "f": "fahrenheit", "c": "celsius"}  # fmt: skip
DATES: dict[str, str] = {
    alias: line.split()[0]
    for line in (
        "january jan januar janvier enero gennaio janeiro januari",
        "february feb februar février febrero febbraio fevereiro februari",
        "march mar märz mars marzo março maart",
        "april apr avril abril aprile",
        "mai mayo maggio maio mei",
        "june jun juni juin junio giugno junho",
        "july jul juli juillet julio luglio julho",
        "august aug août agosto augustus",
        "september sep sept septembre septiembre settembre setembro",
        "october oct oktober octobre octubre ottobre outubro",
        "november nov novembre noviembre novembro",
        "december dec dezember décembre diciembre dicembre dezembro",
        "monday mon montag lundi lunes lunedì segunda-feira maandag",
        "tuesday tue tues dienstag mardi martes martedì dinsdag",
        "wednesday wed mittwoch mercredi miércoles mercoledì woensdag",
        "thursday thu thurs donnerstag jeudi jueves giovedì donderdag",
        "friday fri freitag vendredi viernes venerdì vrijdag",
        "saturday sat samstag samedi sábado sabato zaterdag",
        "sunday sun sonntag dimanche domingo domenica zondag",
        "today heute aujourd'hui hoy oggi hoje vandaag",
        "tomorrow morgen demain mañana domani amanhã",
        "yesterday gestern hier ayer ieri ontem gisteren",
        "tonight",
        "next nächste nächsten nächster nächstes prochain prochaine próximo próxima prossimo prossima volgende upcoming coming following",
        "last letzte letzten letzter letztes dernier dernière pasado pasada scorso scorsa passado vorige previous past",
        "current currently",
        "annual annually yearly",
        "monthly",
        "weekly",
        "daily",
        "hourly",
        "quarterly",
    )
    for alias in line.split()
    if alias not in ("mon", "sun", "sat", "mar", "mars", "jan", "sep", "dec", "hier", "past", "following", "fri",
                     "coming")
}  # fmt: skip
PERIODS = of(
    "day week weekend month quarter year morning afternoon evening night semester term season time spring summer"
    " autumn winter minute hour century decade woche monat jahr morgen abend semaine mois semana mes settimana"
)
WEIGHTY: dict[str, str] = {
    alias: line.split()[0]
    for line in (
        "all every each entire everyone everybody everything always alle jede jeder jedes jeden tous toutes tout todos todas tutti tutte alla",
        "few several",
        "most",
        "only solely exclusively nur seulement solo solamente soltanto somente alleen",
        "more mehr plus más più mais meer",
        "less fewer weniger moins menos meno minder",
        "atleast minimum minimal mindestens",
        "atmost maximum maximal höchstens",
        "least",
        "before prior vor avant antes prima",
        "after nach après después dopo depois na",
        "during während pendant durante",
        "since seit depuis desde",
        "until till bis jusqu'à hasta",
        "over above beyond exceeding",
        "under below beneath",
        "against versus",
        "except excluding besides",
        "instead",
        "again",
        "enough",
        "twice double",
        "thrice triple",
        "half halb moitié mitad metà metade",
        "both",
        "out",
        "off",
        "up",
        "down",
        "behind",
        "inside",
        "outside",
        "if-not unless",
        "too-much",
        "too-little",
        "opposite",
        "first",
        "alone",
    )
    for alias in line.split()
    if alias not in ("plus", "mais", "prima", "na", "nach", "vor", "bis", "solo", "alla", "prior")
}  # fmt: skip
# Dropped where they are all that one question has more than the other.
SOFT = of(
    "way step thing able possible possibility currently now exactly actually really simply easily question"
    " information detail answer explain describe define definition mean meaning instruction guide method process"
    " procedure tell know want need like would wish wonder help understand matter job purpose effect overview"
    " introduction basically generally usually quickly properly correctly successfully personally forget idea"
    " people person moment called placed consider already anymore allowed available"
)
# Verbs with little meaning of their own, by what they stand for.
LIGHT: tuple[frozenset[str], ...] = (
    of("get have obtain receive need want earn own hold"),
    of("show give list name tell display provide see view need write"),
    of("go take get travel reach come run"),
    of("find see locate get look stand"),
    of("make do create perform write"),
    of("use do apply work take"),
    of("be become happen occur do go"),
    of("give do look check work"),
    of("exist live be apply"),
    of("offer provide do have give"),
    of("cost pay charge"),
    of("have contain include"),
    of("call reach contact"),
    of("arrive get come be reach"),
)
LIGHT_WORDS: frozenset[str] = of(
    "get have go take give make do use find see show list become happen work look come put let keep run provide"
    " exist stand call apply offer contain include name arrive"
)

# What is wanted, in the languages whose grammar is not read: words that ask, oblige or allow.
ASKS: dict[str, str] = {
    alias: line.split()[0]
    for line in (
        "who wer wen wem wessen qui quién quiénes chi quem wie-nl",
        "where wo wohin où dónde adónde dove onde waar",
        "from-where woher",
        "when wann quand cuándo quando wanneer",
        "why warum wieso weshalb pourquoi perché porque waarom",
        "how-much wieviel viel combien cuánto cuánta cuántos cuántas quanto quanta quanti quante quantos quantas hoeveel",
        "must muss müssen musst müsste dois doit devons devez doivent faut debo debe devo deve moet moeten tengo",
        "may darf dürfen mag mogen",
        "should soll sollte sollen sollten devrais debería dovrei deveria zou",
        "many viele",
    )
    for alias in line.split()
}
