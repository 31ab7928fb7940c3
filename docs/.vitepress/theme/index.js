// The default theme with the system's fonts, so that pages load no font.
import DefaultTheme from 'vitepress/theme-without-fonts'
import './style.css'

export default DefaultTheme
